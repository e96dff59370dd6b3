//! What several test programs share: the independent emulators. Holds no assertions of its own about labguard.

pub mod emulators;
