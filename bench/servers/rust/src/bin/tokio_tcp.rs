//! TCP echo server on tokio, as its documentation writes one.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn main() {
    servers::serve(|mut stream| async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            if stream.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    });
}
