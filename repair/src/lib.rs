//! The daemon that watches, plans, checks and executes: rebuild, collect, retire.
