//! observer: a Linux node agent.

mod bpf;
mod clock;
mod config;
mod export;
mod metrics;
mod node;
mod proc;
mod readings;
mod telemetry;
mod window;

fn main() {
    let t = std::time::Instant::now();
    let o =
        bpf::Options { ring_bytes: 1 << 20, level: bpf::Level::Exchanges, filter: None, kernel_log: false };
    match bpf::Programs::load(&o) {
        Ok((mut p, mut r)) => {
            eprintln!("loaded in {:?}", t.elapsed());
            for f in p.features() {
                eprintln!("{f:?}");
            }
            for _ in 0..30 {
                std::thread::sleep(std::time::Duration::from_secs(1));
                let mut buf = vec![0; 1 << 16];
                let n = r.drain(10000, |b| {
                    eprintln!(
                        "rec kind {} outcome {} err {} len {}",
                        b[0],
                        b[1],
                        u16::from_ne_bytes([b[2], b[3]]),
                        b.len()
                    )
                });
                let mut bytes = 0;
                p.sweep(&mut buf, |b| bytes += b.len()).unwrap();
                eprintln!("{n} sweep {bytes} {:?}", p.totals().unwrap());
            }
        }
        Err(e) => {
            let mut c: Option<&dyn std::error::Error> = Some(&e);
            while let Some(x) = c {
                eprintln!("{x}");
                c = x.source();
            }
        }
    }
}
