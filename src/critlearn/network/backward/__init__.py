"""The tail-exact learning pass: output errors of unit size sent back through a network, logarithms kept apart."""
