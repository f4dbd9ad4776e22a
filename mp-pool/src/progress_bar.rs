//! [`progress_bar`]: a bar for terminals, drawn by indicatif.

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::options::Progress;

/// A hook for [`TaskOptions::progress`](crate::TaskOptions::progress) that draws a bar on standard error, if that is a
/// terminal: how many items are done, of how many, how fast, and when the rest will be.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// let pool = mp::Pool::new(2)?;
/// let options = mp::TaskOptions::new().progress(mp::progress_bar("squares"));
/// let squares = pool.with_options(options).map(|n: u64| Ok(n * n), 0..1000)?;
/// assert_eq!(squares[30], 900);
/// # Ok::<(), mp::Error>(())
/// ```
#[doc(alias = "tqdm")]
pub fn progress_bar(label: impl Into<String>) -> impl Fn(Progress) + Send + Sync + 'static {
    // A template of ours is right, and if it were not, the default style serves.
    let style =
        ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::no_length()
        .with_style(style)
        .with_message(label.into())
        .with_finish(ProgressFinish::AndLeave);
    move |progress| {
        if let Some(total) = progress.total {
            bar.set_length(total as u64);
        }
        bar.set_position(progress.done as u64);
        if progress.total == Some(progress.done) {
            bar.finish();
        }
    }
}
