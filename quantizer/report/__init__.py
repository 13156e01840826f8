"""From files and evaluations to a report: tables, plots, verdicts at matched bytes."""
