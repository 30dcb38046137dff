//! Names of error numbers.

macro_rules! names {
    ($($name:ident)+) => {
        /// The name of an error number, as `errno(3)` has it.
        pub(crate) fn name(number: u16) -> Option<&'static str> {
            match i32::from(number) {
                $(libc::$name => Some(stringify!($name)),)+
                _ => None,
            }
        }
    };
}

names! {
    EPERM ENOENT EINTR EIO ENXIO E2BIG EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST ENODEV ENOTDIR EISDIR EINVAL ENFILE
    EMFILE ENOSPC EPIPE ENOSYS ENONET EPROTO EBADMSG EOVERFLOW ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT
    EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET
    ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS
    ESTALE EDQUOT ECANCELED EKEYEXPIRED EKEYREVOKED EKEYREJECTED
}

/// The name, or the number where there is none.
pub(crate) fn text(number: u16) -> String {
    name(number).map_or_else(|| format!("errno {number}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_have_names_and_others_keep_their_number() {
        assert_eq!(text(111), "ECONNREFUSED");
        assert_eq!(text(4095), "errno 4095");
    }
}
