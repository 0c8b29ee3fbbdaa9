"""How long does a run of the whole pipeline take, beside its steps started cold, one after the other?"""
