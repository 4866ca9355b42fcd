"""What runs, csv files and text files of other experiments decide: known answer, accounting, load, specialisation."""
