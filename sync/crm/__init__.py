"""The CRM behind its port: the built-in one on Table Storage, later a vendor's."""
