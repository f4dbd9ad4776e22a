//! What is played: for each area of the library what a plan says of it, what its actors do, what the director does
//! meanwhile, and what must hold at the end.

pub(crate) mod barrier;
pub(crate) mod condition;
pub(crate) mod deliveries;
pub(crate) mod locks;
pub(crate) mod memory;
pub(crate) mod permits;
pub(crate) mod pipe;
pub(crate) mod pool;
pub(crate) mod queue;
pub(crate) mod runner;
pub(crate) mod server;
pub(crate) mod tree;

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::company::Company;
use crate::plan::Casting;
use crate::sabotage::Sabotage;
use crate::stage::Stage;
use crate::strike::Struck;

/// A scene that is being played, as the director has it.
pub(crate) trait Playing: Send {
    /// What the director does while the actors act; returns when they have ended, or will end by themselves.
    ///
    /// # Errors
    ///
    /// What a call says that must not fail.
    fn attend(&mut self, company: &Company, problems: &mut Vec<String>) -> mp::Result<()> {
        let _they_act_without_it = (company, problems);
        Ok(())
    }

    /// What does not hold that must, when all actors have ended.
    ///
    /// # Errors
    ///
    /// What a call says that must not fail.
    fn check(
        &mut self,
        company: &Company,
        struck: &[Struck],
        problems: &mut Vec<String>,
    ) -> mp::Result<()>;
}

macro_rules! scenes {
    ($($name:ident = $module:ident, $word:literal;)*) => {
        /// Which area a scene is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($name),* }

        /// What a plan says of a scene.
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) enum Scene { $($name($module::Script)),* }

        /// What an actor does.
        #[derive(Debug, Serialize, Deserialize)]
        pub(crate) enum Part { $($name($module::Part)),* }

        impl Kind {
            pub(crate) const ALL: &[Kind] = &[$(Kind::$name),*];

            pub(crate) fn named(word: &str) -> Option<Kind> {
                match word { $($word => Some(Kind::$name),)* _ => None }
            }

            pub(crate) fn word(self) -> &'static str {
                match self { $(Kind::$name => $word),* }
            }

            /// A scene of this kind.
            pub(crate) fn write(self, casting: &mut Casting) -> Scene {
                match self { $(Kind::$name => Scene::$name($module::Script::write(casting))),* }
            }
        }

        impl Scene {
            #[cfg(test)]
            pub(crate) fn kind(&self) -> Kind {
                match self { $(Scene::$name(_) => Kind::$name),* }
            }

            /// Makes what is used, and starts the actors.
            pub(crate) fn begin(&self, company: &mut Company) -> mp::Result<Box<dyn Playing>> {
                Ok(match self { $(Scene::$name(script) => Box::new(script.begin(company)?)),* })
            }
        }

        /// The target of each process that is started.
        pub(crate) fn act(part: Part, mut stage: Stage) -> mp::Result<Told> {
            stage.wait_for_start()?;
            if stage.spoils(Sabotage::Panic) {
                panic!("on purpose");
            }
            if stage.spoils(Sabotage::Abort) {
                std::process::abort();
            }
            match part { $(Part::$name(part) => part.play(&mut stage)),* }
        }
    };
}

scenes! {
    Queue = queue, "queue";
    Locks = locks, "locks";
    Permits = permits, "permits";
    Condition = condition, "condition";
    Barrier = barrier, "barrier";
    Pipe = pipe, "pipe";
    Memory = memory, "memory";
    Pool = pool, "pool";
    Runner = runner, "runner";
    Server = server, "server";
    Tree = tree, "tree";
}

/// What an actor tells when it has ended by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Told {
    /// All of it is in its notes.
    #[default]
    Nothing,
    /// Others are gone, so it ended early.
    Broken,
    /// Another process was killed, which belongs to it.
    Killed { pid: u32 },
    /// The answers of a pool.
    Pool(Vec<pool::Answer>),
}
