"""`python -m netsci_nn`: the command line where no program `netsci-nn` is on the path."""

from netsci_nn.cli import main

if __name__ == "__main__":
    main()
