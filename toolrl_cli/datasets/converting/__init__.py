"""Common tool-calling sets as rows of data kind `verl`: readers of their formats, and one writer."""
