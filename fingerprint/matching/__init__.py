"""From a query's landmarks to tracks."""
