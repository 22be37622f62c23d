"""Programs around netsci_nn, run from the project's folder; they are not installed."""
