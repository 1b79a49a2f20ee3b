Červený drak.
Dvě kozy na střeše.
Sníh.
