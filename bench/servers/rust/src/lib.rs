//! What the servers have in common: their command line, `NAME HOST:PORT`, and one thread, since a server has one
//! processor in these benchmarks.

use std::future::Future;
use tokio::net::{TcpListener, TcpStream};

/// Listens at the first argument, prints "port N", and gives each connection a task.
pub fn serve<F, T>(connection: F)
where
    F: Fn(TcpStream) -> T,
    T: Future<Output = ()> + 'static,
{
    let mut arguments = std::env::args().skip(1);
    let (Some(address), None) = (arguments.next(), arguments.next()) else {
        eprintln!(
            "usage: {} HOST:PORT",
            std::env::args().next().unwrap_or_default()
        );
        std::process::exit(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(&address).await.expect("listen");
        println!("port {}", listener.local_addr().expect("address").port());
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            if stream.set_nodelay(true).is_ok() {
                tokio::task::spawn_local(connection(stream));
            }
        }
    });
}
