//! WebSocket echo server on tokio-tungstenite, as its documentation writes one.

use futures_util::{SinkExt, StreamExt};

fn main() {
    servers::serve(|stream| async move {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
            return;
        };
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                return;
            }
        }
    });
}
