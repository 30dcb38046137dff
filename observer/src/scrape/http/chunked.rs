//! A body in parts that say their length.
//! <https://www.rfc-editor.org/rfc/rfc9112#section-7.1>

use super::Fault;

/// The longest line with a size, extensions included, in bytes.
const LINE: usize = 256;
const LONG_LINE: &str = "line of a chunk is longer than 256 bytes";

/// The most bytes of trailers, which nobody reads.
const TRAILERS: usize = 16 << 10;
const LONG_TRAILERS: &str = "more than 16384 bytes behind the last chunk";

/// Where in a body the reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Chunked {
    /// Before the line with the size of a chunk.
    #[default]
    Size,
    /// Within a chunk, so many bytes before its end.
    Data(u64),
    /// Before the end of line behind a chunk.
    Behind,
    /// Behind the last chunk, with so many bytes of trailers read.
    Trailers(usize),
}

impl Chunked {
    /// The bytes of the present chunk that have not come.
    pub(super) const fn announced(self) -> u64 {
        match self {
            Self::Data(rest) => rest,
            _ => 0,
        }
    }

    /// Reads what stands from `end` on. The data moves to `end`, which moves behind it; what is left behind that is the begin
    /// of a line. Whether this was the last.
    pub(super) fn advance(&mut self, buffer: &mut Vec<u8>, end: &mut usize) -> Result<bool, Fault> {
        let mut at = *end;
        let done = loop {
            let rest = &buffer[at..];
            match self {
                Self::Data(left) => {
                    let taken = usize::try_from(*left).map_or(rest.len(), |left| rest.len().min(left));
                    buffer.copy_within(at..at + taken, *end);
                    (at, *end, *left) = (at + taken, *end + taken, *left - taken as u64);
                    if *left > 0 {
                        break false;
                    }
                    *self = Self::Behind;
                }
                Self::Behind => match rest {
                    [b'\r', b'\n', ..] => (at, *self) = (at + 2, Self::Size),
                    [] | [b'\r'] => break false,
                    _ => return Err("chunk is longer than its size".into()),
                },
                Self::Size => {
                    let Some(line) = line(rest, LINE, LONG_LINE)? else { break false };
                    *self = match size(line)? {
                        0 => Self::Trailers(0),
                        size => Self::Data(size),
                    };
                    at += line.len() + 2;
                }
                Self::Trailers(read) => {
                    let Some(line) = line(rest, TRAILERS.saturating_sub(*read), LONG_TRAILERS)? else {
                        break false;
                    };
                    at += line.len() + 2;
                    *read += line.len() + 2;
                    if line.is_empty() {
                        break true;
                    }
                }
            }
        };
        let left = buffer.len() - at;
        buffer.copy_within(at.., *end);
        buffer.truncate(*end + left);
        Ok(done)
    }
}

/// A line without its end, if that has come.
fn line<'a>(bytes: &'a [u8], longest: usize, long: &'static str) -> Result<Option<&'a [u8]>, Fault> {
    let end = bytes.iter().take(longest + 2).position(|byte| *byte == b'\n');
    match end.map(|end| &bytes[..end]) {
        Some([line @ .., b'\r']) => Ok(Some(line)),
        Some(_) => Err("line of a chunk ends with LF alone".into()),
        None if bytes.len() > longest + 1 => Err(long.into()),
        None => Ok(None),
    }
}

/// The size in a line; extensions, which stand behind `;`, mean nothing to us.
fn size(line: &[u8]) -> Result<u64, Fault> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let wrong = || Fault::from(format!("`{}` is not the size of a chunk", line.escape_ascii()));
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(wrong());
    }
    let text = std::str::from_utf8(digits).map_err(|_| wrong())?;
    u64::from_str_radix(text, 16).map_err(|_| wrong())
}
