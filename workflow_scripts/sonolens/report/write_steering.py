"""Write the tables of steering, for figures and claims as Parquet, for a user as CSV."""

from sonolens import tables
from sonolens.report.csv_tables import write_csv
from sonolens.report.schemas import STEERING, STEERING_METHODS
from sonolens.report.steering_matching import compare_methods, wide_methods
from sonolens.report.steering_tables import Steered, gather, wide


def write_steering(steered: list[Steered], outputs: dict, seed: int) -> None:
    """Write all of `outputs`: steering and methods (CSV), steering_table and methods_table (Parquet)."""
    effects, methods = gather(steered, seed), compare_methods(steered, seed)
    tables.write(effects, outputs["steering_table"], STEERING)
    tables.write(methods, outputs["methods_table"], STEERING_METHODS)
    write_csv(wide(effects), outputs["steering"])
    write_csv(wide_methods(methods), outputs["methods"])
