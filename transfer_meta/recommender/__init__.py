"""What stands behind `transfer_meta.recommend`: known tasks, a model of their transfers, reasons in words."""
