"""What experts specialise in and how routing settles, each quantity beside its chance level and null."""
