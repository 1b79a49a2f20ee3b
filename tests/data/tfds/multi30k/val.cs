Lampa.
Loď.
