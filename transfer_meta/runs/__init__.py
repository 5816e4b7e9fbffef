"""Plans of fine-tuning runs: the run store, the driver, the engines that execute runs, export and search."""
