//! Tasks without which the process is of no use: where one of them ends, by a panic for one, the process must end too, so
//! that it is started anew.

use std::{future::Future, sync::LazyLock};

use tokio::{sync::watch, task::AbortHandle};

/// The first that has ended. Of the process, since there is nobody else to act on it.
static ENDED: LazyLock<watch::Sender<Option<&'static str>>> = LazyLock::new(watch::Sender::default);

/// Starts a task that never ends by itself. Whoever does not need it any more aborts it.
pub fn spawn(name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    let task = tokio::spawn(task);
    let handle = task.abort_handle();
    tokio::spawn(async move {
        let is_aborted = task.await.is_err_and(|error| error.is_cancelled());
        if !is_aborted {
            tracing::error!(task = name, "a task has ended that must not: the process ends");
            ENDED.send_replace(Some(name));
        }
    });
    handle
}

/// Returns when one of them has ended, and which.
pub async fn ended() -> &'static str {
    let mut ended = ENDED.subscribe();
    let name = ended.wait_for(Option::is_some).await.ok().and_then(|name| *name);
    match name {
        Some(name) => name,
        // The sender is never dropped.
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_noticed_and_one_that_is_aborted_is_not() {
        let aborted = spawn("aborted", std::future::pending());
        aborted.abort();
        spawn("panics", async { panic!("on purpose") });
        assert_eq!(ended().await, "panics");
    }
}
