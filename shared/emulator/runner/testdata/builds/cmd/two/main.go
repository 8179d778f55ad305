package main

import "builds/answer"

func main() { answer.With("two") }
