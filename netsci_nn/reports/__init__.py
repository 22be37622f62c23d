"""Reports: the comparison of methods (`comparison`), and the files of an analysis (`analysis_files`)."""
