//! HTTP on a loopback port, on a thread of its own.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// The connection is closed without (the rest of) an answer.
#[derive(Debug)]
pub(crate) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}

impl From<Infallible> for Closed {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A handler of requests.
pub(crate) trait Handler: Send + Sync + 'static {
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Drip>, Closed>> + Send;
}

/// A running server; stopped when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start<H: Handler>(name: &str, handler: Arc<H>) -> Self {
        let listener =
            std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port on 127.0.0.1");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("the port that was bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a tokio runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener for tokio");
                tokio::spawn(accept(listener, handler));
                // An error means that the sender was dropped, which stops the server just as well.
                let _ = stopped.await;
            });
        };
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(run)
            .expect("a thread for the server");
        Self { address, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic, if there was one, was printed when it happened.
            let _ = thread.join();
        }
    }
}

async fn accept<H: Handler>(listener: TcpListener, handler: Arc<H>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Probably out of file descriptors: connections that end release some.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // It only affects speed.
        let _ = stream.set_nodelay(true);
        let handler = Arc::clone(&handler);
        let service = service_fn(move |request| Arc::clone(&handler).handle(request));
        tokio::spawn(async move {
            // Errors are broken connections: faults break them.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A body that can drip, and end too soon.
#[derive(Debug)]
pub(crate) struct Drip {
    chunks: VecDeque<Bytes>,
    announced: u64,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    cut: bool,
}

impl Drip {
    /// All at once.
    pub(crate) fn whole(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let announced = body.len() as u64;
        let chunks = if body.is_empty() { VecDeque::new() } else { [body].into() };
        Self { chunks, announced, pause: Duration::ZERO, sleep: None, cut: false }
    }

    /// In up to twenty pieces, for `time` in all.
    pub(crate) fn slow(body: impl Into<Bytes>, time: Duration) -> Self {
        let body = body.into();
        let announced = body.len() as u64;
        let size = body.len().div_ceil(20).max(1);
        let chunks: VecDeque<Bytes> = (0..body.len())
            .step_by(size)
            .map(|at| body.slice(at..(at + size).min(body.len())))
            .collect();
        let pause = time / chunks.len().max(1) as u32;
        Self { chunks, announced, pause, sleep: None, cut: false }
    }

    /// The first half, with the length of the whole announced.
    pub(crate) fn cut(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        // An empty body cannot be cut: it is announced as one that is not empty.
        let announced = (body.len() as u64).max(64);
        let chunks = [body.slice(..body.len() / 2)].into();
        // Data still unsent when a body fails is never sent, hence a pause before the failure.
        Self { chunks, announced, pause: Duration::from_millis(20), sleep: None, cut: true }
    }
}

impl Body for Drip {
    type Data = Bytes;
    type Error = Closed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(sleep) = &mut self.sleep {
            std::task::ready!(sleep.as_mut().poll(context));
            self.sleep = None;
        }
        Poll::Ready(match self.chunks.pop_front() {
            Some(chunk) => {
                if !self.pause.is_zero() {
                    self.sleep = Some(Box::pin(tokio::time::sleep(self.pause)));
                }
                Some(Ok(Frame::data(chunk)))
            }
            None if self.cut => Some(Err(Closed)),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty() && !self.cut
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}
