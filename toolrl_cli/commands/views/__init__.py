"""What commands show: tables, live views and prose on a terminal."""
