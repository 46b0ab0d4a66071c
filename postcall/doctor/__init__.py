"""`postcall doctor`: the first thing to run when something is wrong, and after installing."""
