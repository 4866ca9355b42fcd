"""Many runs from results.h5: saturation and its sentences, costs, arms compared."""
