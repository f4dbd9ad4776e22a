//! What vouches for the memory of a queue. Everything unsafe is in here.

mod layout;
