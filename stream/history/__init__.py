"""What stations played, in a database: rows, tables, migrations, the spool, and what is asked.

`rows` says what is stored of an event, `received` what one that comes as JSON must say; `schema`
says where it is stored, and `writer` and `reader` are the two sides. `spool` holds rows on disk
while the database is away. SQLAlchemy is imported in this folder alone.
"""
