//! A bounded queue of request bodies that outlives its process.
