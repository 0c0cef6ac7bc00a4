"""An installation: examined (``mediseg doctor``), and packed for a machine without a network (``mediseg bundle``)."""
