"""Each kind's record, and Graph JSON to and from it. Pure."""
