//! The state machine: operations in, row effects and outcomes out, nothing else.
