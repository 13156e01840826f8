"""HTTP as every dialect speaks it: who may ask, bodies, errors, events, clients that leave."""
