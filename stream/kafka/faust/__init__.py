"""Faust and aiokafka, and all that is done with them."""
