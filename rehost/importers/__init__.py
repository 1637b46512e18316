"""Coming in: inventories of other tools, made into a spec for review. Nothing is asked of AWS or of a source."""

from rehost.importers._errors import InventoryError, InventoryUnreadable, InventoryWrong, NothingToImport
from rehost.importers._import import TOOLS, Imported, import_inventory, is_of
from rehost.importers._inventory import Options
from rehost.importers._mapping import Mapping, read_mapping
from rehost.importers._remarks import Kind, Remark, Summary, summaries

__all__ = [
    "TOOLS",
    "Imported",
    "InventoryError",
    "InventoryUnreadable",
    "InventoryWrong",
    "Kind",
    "Mapping",
    "NothingToImport",
    "Options",
    "Remark",
    "Summary",
    "import_inventory",
    "is_of",
    "read_mapping",
    "summaries",
]
