//! WebSocket echo server on tokio-tungstenite, as its examples write one.

use futures_util::{future, StreamExt, TryStreamExt};

fn main() {
    servers::serve(|stream| async move {
        let Ok(socket) = tokio_tungstenite::accept_async(stream).await else {
            return;
        };
        let (write, read) = socket.split();
        let messages = read.try_filter(|m| future::ready(m.is_text() || m.is_binary()));
        let _ = messages.forward(write).await; // its error is that the peer has gone
    });
}
