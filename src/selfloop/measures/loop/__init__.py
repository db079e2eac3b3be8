"""Whether the shop feeds itself, how strongly, what people are worth, what to mend."""
