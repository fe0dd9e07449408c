"""The specification of the format and the frozen integer tables that it refers to (`tables/`)."""
