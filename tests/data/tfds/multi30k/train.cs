Modrý drak.
Dvě kozy na střeše.
Sníh.
Kočka spí.
Čtyři židle.
Déšť v noci.
Staré dveře.
