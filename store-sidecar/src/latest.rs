//! What is done in the background until it succeeds, or until there is something later to do.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::AbortHandle;

/// The latest of such tasks; the one before ends where another begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latest(Arc<Mutex<Option<AbortHandle>>>);

impl Latest {
    /// Begins a task in the place of what is under way.
    pub(crate) fn begin(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(task).abort_handle();
        let earlier = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(task);
        if let Some(earlier) = earlier {
            earlier.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_one_before_ends_and_the_latest_goes_on() {
        let latest = Latest::default();
        let running: Vec<Arc<()>> = (0..3).map(|_| Arc::default()).collect();
        for one in &running {
            let one = Arc::clone(one);
            latest.begin(async move {
                let _running = one;
                std::future::pending().await
            });
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let counts: Vec<usize> = running.iter().map(Arc::strong_count).collect();
        assert_eq!(counts, [1, 1, 2]);
    }
}
