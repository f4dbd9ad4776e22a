//! What will happen in a round, decided before anything runs: who plays, what each of them does, and who is struck at
//! which step by what. The same seed and round give the same plan.

use std::ops::Range;

use mp_testing::storm::Dice;
use serde::{Deserialize, Serialize};

use crate::scenes::{Kind, Scene};

/// A round.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) round: u64,
    /// What is played at the same time.
    pub(crate) scenes: Vec<Scene>,
    /// The names of all actors; the place of a name is the number of the actor.
    pub(crate) actors: Vec<String>,
    pub(crate) strikes: Vec<Strike>,
}

/// What befalls an actor, and when.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Strike {
    pub(crate) actor: usize,
    /// The step that the actor has announced.
    pub(crate) step: u64,
    /// How long after that.
    pub(crate) delay_us: u64,
    pub(crate) blow: Blow,
}

/// What befalls it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT after so long.
    Pause { ms: u64 },
    /// For so long it can open only so many more descriptors: it has so many numbers left for them.
    FewFiles { spare: u64, ms: u64 },
    /// For so long it can map only so much more memory.
    LittleMemory { spare_kib: u64, ms: u64 },
}

impl Blow {
    /// Its name in a summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Blow::Kill => "kills",
            Blow::Pause { .. } => "pauses",
            Blow::FewFiles { .. } => "shortages of files",
            Blow::LittleMemory { .. } => "shortages of memory",
        }
    }

    /// Whether calls of its victim may fail for want of something.
    pub(crate) fn is_shortage(self) -> bool {
        matches!(self, Blow::FewFiles { .. } | Blow::LittleMemory { .. })
    }
}

/// Which blows an actor may get.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    /// It may be stopped for a while, or killed.
    Mortal,
    /// It may come short of descriptors, too. What it starts then would be as short of memory for all its life.
    Cramped,
    /// It may come short of descriptors or memory, too.
    Wretched,
}

/// Where scenes get their actors, while a plan is made.
pub(crate) struct Casting {
    pub(crate) dice: Dice,
    actors: Vec<String>,
    strikes: Vec<Strike>,
}

impl Casting {
    /// A new actor, which announces so many steps; its number. A little more than half of them are struck.
    pub(crate) fn actor(&mut self, name: &str, steps: u64, fate: Fate) -> usize {
        self.actor_in(name, 0..steps.max(1), fate, 55)
    }

    /// A new actor, which is struck in so many of a hundred cases, at one of these steps; its number.
    pub(crate) fn actor_in(
        &mut self,
        name: &str,
        steps: Range<u64>,
        fate: Fate,
        percent: u64,
    ) -> usize {
        let actor = self.actors.len();
        self.actors.push(format!("{name}-{actor}"));
        if self.chance(percent) {
            let step = self.between(steps.start, steps.end - 1);
            self.strike(actor, step, fate);
        }
        actor
    }

    fn strike(&mut self, actor: usize, step: u64, fate: Fate) {
        let dice = &mut self.dice;
        // Most strikes land in the call that the step begins with, some in a later one.
        let delay_us = if dice.below(3) == 0 { dice.below(5_000) } else { dice.below(300) };
        let pause = Blow::Pause { ms: 1 + dice.below(60) };
        // As long as many calls take.
        let ms = 10 + dice.below(50);
        let files = Blow::FewFiles { spare: dice.below(4), ms };
        // Enough for what a program cannot live without, too little for a large block.
        let memory = Blow::LittleMemory { spare_kib: 1_024 + dice.below(1_024), ms };
        let blow = match (fate, dice.below(10)) {
            (_, 0..3) => pause,
            (Fate::Wretched | Fate::Cramped, 3..5) => files,
            (Fate::Wretched, 5..7) => memory,
            _ => Blow::Kill,
        };
        self.strikes.push(Strike { actor, step, delay_us, blow });
    }

    /// A number from `from` to `to`, both included.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.dice.below(to - from + 1)
    }

    /// The same as a size.
    pub(crate) fn size(&mut self, from: usize, to: usize) -> usize {
        from + self.dice.index(to - from + 1)
    }

    /// From `from` to `to` things, each made by `make`.
    pub(crate) fn some<T>(
        &mut self,
        from: usize,
        to: usize,
        mut make: impl FnMut(&mut Casting) -> T,
    ) -> Vec<T> {
        (0..self.size(from, to)).map(|_| make(self)).collect()
    }

    /// Whether something comes about that does so in so many of a hundred cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.dice.below(100) < percent
    }

    /// One of them.
    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.dice.index(choices.len())]
    }
}

/// What will happen in this round; with one kind of scenes alone, if that is asked for.
pub(crate) fn plan(seed: u64, round: u64, only: Option<Kind>) -> Plan {
    let mut mixed = Dice::with_seed(seed ^ round.wrapping_mul(0xd134_2543_de82_ef95));
    let dice = Dice::with_seed(mixed.roll());
    let mut casting = Casting { dice, actors: Vec::new(), strikes: Vec::new() };
    let kinds = match only {
        Some(kind) => vec![kind],
        None => {
            let count = casting.size(1, 3);
            (0..count).map(|_| casting.one_of(Kind::ALL)).collect()
        }
    };
    let scenes = kinds.into_iter().map(|kind| kind.write(&mut casting)).collect();
    Plan { seed, round, scenes, actors: casting.actors, strikes: casting.strikes }
}

impl Plan {
    /// The steps that an actor has to announce, for somebody is struck then.
    pub(crate) fn cues(&self) -> Vec<(usize, u64)> {
        self.strikes.iter().map(|strike| (strike.actor, strike.step)).collect()
    }

    /// What is to befall an actor.
    pub(crate) fn blow(&self, actor: usize) -> Option<Blow> {
        self.strikes.iter().find(|strike| strike.actor == actor).map(|strike| strike.blow)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_same_seed_and_round_give_the_same_plan(seed: u64, round: u64) {
            prop_assert_eq!(plan(seed, round, None), plan(seed, round, None));
        }

        #[test]
        fn every_strike_has_an_actor_and_no_actor_has_two(seed: u64, round: u64) {
            let plan = plan(seed, round, None);
            let struck: BTreeSet<_> = plan.strikes.iter().map(|strike| strike.actor).collect();
            prop_assert_eq!(struck.len(), plan.strikes.len());
            prop_assert!(struck.iter().all(|&actor| actor < plan.actors.len()));
        }

        #[test]
        fn one_kind_of_scenes_can_be_asked_for(seed: u64, round: u64, kind in 0..Kind::ALL.len()) {
            let kind = Kind::ALL[kind];
            let plan = plan(seed, round, Some(kind));
            prop_assert!(plan.scenes.iter().all(|scene| scene.kind() == kind));
        }
    }

    #[test]
    fn rounds_of_a_seed_differ() {
        let plans: BTreeSet<_> =
            (0..50).map(|round| format!("{:?}", plan(1, round, None).scenes)).collect();
        assert_eq!(plans.len(), 50);
    }

    #[test]
    fn every_kind_of_scene_and_of_strike_comes_about() {
        let plans: Vec<_> = (0..200).map(|round| plan(7, round, None)).collect();
        let kinds: Vec<_> =
            plans.iter().flat_map(|plan| plan.scenes.iter().map(Scene::kind)).collect();
        assert!(Kind::ALL.iter().all(|kind| kinds.contains(kind)));
        let blows: BTreeSet<_> =
            plans.iter().flat_map(|plan| plan.strikes.iter().map(|s| s.blow.name())).collect();
        assert_eq!(blows.len(), 4);
    }
}
