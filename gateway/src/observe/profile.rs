//! The profile of one call: every sample with its time, as a flame graph or for the Firefox profiler.
//!
//! The second is a JSON document in Firefox's "processed profile format", written by the library that
//! wasmtime's own profiler uses. Bounded: the longer the call, the fewer samples are kept of it, each for more
//! time; and by the bounds of `stacks.rs`. Knows not how samples are taken nor who asked.

use super::flame;
use super::stacks::{Room, Stacks};
use crate::runtime::{Sample, Sink, TICK};
use fxprof_processed_profile::{
    CategoryColor, CpuDelta, Frame, FrameFlags, FrameInfo, Profile, StackHandle, ThreadHandle, Timestamp,
};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Samples at one pace; then every second one is kept, and so on: ten seconds of CPU time have 8,500, an hour
/// 40,000.
const SAMPLES_PER_PACE: usize = 4_000;

/// What one profile holds.
const ROOM: Room = Room { functions: 10_000, places: 50_000 };

/// See the file's page.
#[derive(Debug)]
pub struct CallProfile {
    began: Instant,
    clock: SystemTime,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    stacks: Stacks,
    samples: Vec<Taken>,
    /// CPU time of the run at the last sample that was kept.
    cpu: Duration,
    /// Ticks of samples that were passed over since the last one that was kept.
    passed: u32,
    over: u32,
}

/// A sample that is kept.
#[derive(Debug)]
struct Taken {
    at: Duration,
    place: Option<u32>,
    ticks: u32,
    cpu: Duration,
}

impl Default for CallProfile {
    fn default() -> Self {
        let kept =
            Kept { stacks: Stacks::new(ROOM), samples: Vec::new(), cpu: Duration::ZERO, passed: 0, over: 0 };
        Self { began: Instant::now(), clock: SystemTime::now(), kept: Mutex::new(kept) }
    }
}

impl Sink for CallProfile {
    fn take(&self, sample: &Sample<'_>) {
        self.put(self.began.elapsed(), sample);
    }
}

impl CallProfile {
    fn put(&self, at: Duration, sample: &Sample<'_>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *kept;
        kept.passed = kept.passed.saturating_add(sample.ticks);
        let doublings = u32::try_from(kept.samples.len() / SAMPLES_PER_PACE).unwrap_or(u32::MAX).min(20);
        if kept.over > 0 {
            kept.over -= 1;
            return;
        }
        kept.over = (1 << doublings) - 1;
        let ticks = std::mem::take(&mut kept.passed);
        let used = sample.cpu.saturating_sub(std::mem::replace(&mut kept.cpu, sample.cpu));
        let micros = u64::try_from(used.as_micros()).unwrap_or(u64::MAX);
        let place = kept.stacks.add(&sample.frames, sample.cut, micros);
        kept.samples.push(Taken { at, place, ticks, cpu: sample.cpu });
    }

    /// How many samples there are.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).stacks.samples()
    }

    /// As a flame graph.
    ///
    /// # Errors
    /// See [`flame::svg`].
    pub fn flame(&self, title: &str, about: &str) -> io::Result<Vec<u8>> {
        flame::svg(&self.kept.lock().unwrap_or_else(PoisonError::into_inner).stacks, title, about)
    }

    /// As a document that <https://profiler.firefox.com> opens.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn firefox(&self, title: &str) -> io::Result<Vec<u8>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut profile = Profile::new("Unblock", self.clock.into(), TICK.into());
        let category = profile.add_category("WebAssembly", CategoryColor::Yellow);
        let zero = time(Duration::ZERO);
        let process = profile.add_process(title, 1, zero);
        let thread = profile.add_thread(process, 1, zero, true);
        profile.set_thread_name(thread, title);
        profile.add_initial_visible_thread(thread);
        profile.add_initial_selected_thread(thread);
        // Frames have their names already.
        profile.set_symbolicated(true);
        let mut places: Vec<Option<StackHandle>> = Vec::new();
        while let Some((name, caller)) =
            u32::try_from(places.len()).ok().and_then(|place| kept.stacks.of(place))
        {
            let label = Frame::Label(profile.intern_string(name));
            let info = FrameInfo { frame: label, category_pair: category.into(), flags: FrameFlags::empty() };
            let frame = profile.intern_frame(thread, info);
            // Callers have lower numbers.
            let caller = caller.and_then(|caller| places.get(caller as usize).copied().flatten());
            places.push(Some(profile.intern_stack(thread, caller, frame)));
        }
        add(&mut profile, thread, &kept.samples, &places);
        let end = time(kept.samples.last().map_or(Duration::ZERO, |last| last.at));
        profile.set_thread_end_time(thread, end);
        profile.set_process_end_time(process, end);
        Ok(serde_json::to_vec(&profile)?)
    }
}

fn add(profile: &mut Profile, thread: ThreadHandle, samples: &[Taken], places: &[Option<StackHandle>]) {
    let mut cpu = Duration::ZERO;
    for sample in samples {
        let stack = sample.place.and_then(|place| places.get(place as usize).copied().flatten());
        let delta = CpuDelta::from(sample.cpu.saturating_sub(cpu));
        cpu = sample.cpu;
        let weight = i32::try_from(sample.ticks).unwrap_or(i32::MAX);
        profile.add_sample(thread, time(sample.at), stack, delta, weight);
    }
}

fn time(at: Duration) -> Timestamp {
    Timestamp::from_nanos_since_reference(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Frame as Called;

    #[test]
    fn long_calls_have_fewer_samples_each_for_more_time() {
        let profile = CallProfile::default();
        let ticks = 100_000;
        for n in 0..ticks {
            let frames = vec![Called::of(1, Some("hot")), Called::of(2, Some("main"))];
            let at = Duration::from_millis(n);
            profile.put(at, &Sample { task: 0, ticks: 1, cpu: at, frames, cut: false });
        }
        let samples = profile.samples();
        assert!((15_000..25_000).contains(&samples), "{samples}");
        let kept = profile.kept.lock().expect("the lock");
        let stood_for: u32 = kept.samples.iter().map(|sample| sample.ticks).sum();
        assert_eq!(u64::from(stood_for + kept.passed), ticks);
        assert_eq!(kept.stacks.micros(), kept.cpu.as_micros() as u64);
    }

    #[test]
    fn the_document_has_the_parts_that_firefox_reads() {
        let profile = CallProfile::default();
        for n in 0..3 {
            let frames = vec![Called::of(1, Some("<b>hot")), Called::of(2, Some("main"))];
            let at = Duration::from_millis(n);
            profile.put(at, &Sample { task: 0, ticks: 2, cpu: at / 2, frames, cut: n == 2 });
        }
        let json: serde_json::Value =
            serde_json::from_slice(&profile.firefox("task/f").expect("written")).expect("JSON");
        assert_eq!(json["meta"]["preprocessedProfileVersion"], 55);
        let thread = &json["threads"][0];
        assert_eq!(
            (&thread["name"], &thread["samples"]["length"]),
            (&"task/f".into(), &3.into()),
            "{json:#}"
        );
        assert_eq!(thread["samples"]["weight"], serde_json::json!([2, 2, 2]));
        assert_eq!(thread["stackTable"]["length"], 5, "twice main and hot, once what calls them");
    }
}
