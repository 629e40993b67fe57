// Package acceptance shows that compressc does on a real model what it
// promises: that its numbers agree with independent implementations, that
// zeros stay, that nothing is computed twice, that a killed run goes on. Its
// tests are the short form, for every change; the program in report is the long
// form, which runs the pipelines in folder pipelines, compares every row and
// writes docs/results.md.
//
// # Terms
//
// The reference is a folder with a model, text, and golden values: numbers that
// other programs measured on them. A row is one compressed model with its
// perplexity there; the protocol is fixed: windows of 512 tokens, the first 16
// of calib.txt to calibrate, the first 20 of test.txt to measure. A tolerance
// belongs to a row and stays; where a number is out of it the reason is
// written down instead.
//
// The tests skip where the reference is not at hand. A Session runs a pipeline
// in this process and lets its values be looked at; a Program is the built
// command, for what can only be seen from outside: memory, signals, exit codes.
package acceptance
