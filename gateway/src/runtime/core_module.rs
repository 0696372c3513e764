//! Kind: plain core module. Its numeric exports, and how one is called.
//!
//! Parameters have no names in core WebAssembly: they are `0`, `1`, … unless the manifest names
//! them. Several results become a tuple. A module that exports `_initialize` has it called first,
//! as WASI's reactors expect. Knows nothing of the pool, of HTTP or of files.

use super::command::START;
use super::detect::Survey;
use super::{Answer, Call, Function, Hidden, Notes};
use crate::error::LoadError;
use crate::values::{Param, Shape};
use std::sync::Arc;
use unblock_host::Host;
use wasmtime::{Extern, ExternType, FuncType, InstancePre, Module, ModuleExport, Store, Val, component};

/// The name under which a reactor exports its set-up.
const INITIALIZE: &str = "_initialize";

/// A compiled core module with its imports resolved.
pub struct Linked {
    /// Ready to be instantiated.
    pub pre: InstancePre<Host>,
    initialize: Option<ModuleExport>,
}

/// One exported function.
pub struct Export {
    index: ModuleExport,
    results: usize,
}

/// The functions of `module`, and the exports that cannot be called.
///
/// # Errors
/// Nothing of it can be called: says what was found.
pub fn functions(
    module: &Module,
    survey: &Survey,
    notes: &Notes,
) -> Result<(Vec<Function>, Vec<Hidden>), LoadError> {
    let (mut functions, mut hidden) = (Vec::new(), Vec::new());
    for export in module.exports() {
        let ExternType::Func(ty) = export.ty() else { continue };
        let name = export.name();
        let Some(index) = module.get_export_index(name) else { continue };
        if name == INITIALIZE {
            continue;
        }
        match function(name, index, &ty, notes) {
            Ok(function) => functions.push(function),
            Err(reason) => hidden.push(Hidden { name: name.to_owned(), reason }),
        }
    }
    if functions.is_empty() {
        let exports: Vec<&str> = survey.exports.iter().map(|export| export.name.as_str()).collect();
        return Err(LoadError {
            reason: format!(
                "a core module without a callable function: looked for exported functions of numbers, found {}",
                if exports.is_empty() { "no exports".to_owned() } else { exports.join(", ") }
            ),
            remedies: if hidden.is_empty() {
                vec!["export a function of i32, i64, f32 or f64: (func (export \"add\") (param i32 i32) (result i32) …)".to_owned()]
            } else {
                hidden.iter().map(|hidden| format!("{}: {}", hidden.name, hidden.reason)).collect()
            },
        });
    }
    Ok((functions, hidden))
}

/// Exported functions of a program, which is called for its main function.
pub fn beside(survey: &Survey) -> Vec<Hidden> {
    let others = survey.exports.iter().filter(|export| export.function && export.name != START);
    others
        .map(|export| Hidden {
            name: export.name.clone(),
            reason: format!(
                "the module is a program, called for its {START}; put functions into one of their own"
            ),
        })
        .collect()
}

fn function(name: &str, index: ModuleExport, ty: &FuncType, notes: &Notes) -> Result<Function, String> {
    if name.is_empty() {
        return Err("its name is empty, so no URL can name it".to_owned());
    }
    if name == START {
        return Err("the main function of a program; the module is called for its other functions".to_owned());
    }
    let noted = notes.functions.get(name);
    let mut params = Vec::new();
    for (position, ty) in ty.params().enumerate() {
        let shape = Shape::from_core(&ty).map_err(|why| format!("parameter {position}: {why}"))?;
        let name = noted
            .and_then(|notes| notes.params.get(position).cloned())
            .unwrap_or_else(|| position.to_string());
        params.push(Param::new(name, shape));
    }
    let mut results = Vec::new();
    for (position, ty) in ty.results().enumerate() {
        results.push(Shape::from_core(&ty).map_err(|why| format!("result {position}: {why}"))?);
    }
    let count = results.len();
    let result = match count {
        0 => None,
        1 => results.pop(),
        _ => Some(Shape::Tuple(Arc::from(results))),
    };
    Ok(Function {
        name: name.to_owned(),
        interface: None,
        description: None,
        params,
        answer: if result.is_some() { Answer::Json } else { Answer::Empty },
        result,
        error: None,
        raw_body: false,
        reads_body: false,
        body_stream: None,
        raw_answer: false,
        call: Call::Core(Export { index, results: count }),
    })
}

impl Linked {
    /// Takes a module whose imports are resolved.
    #[must_use]
    pub fn new(pre: InstancePre<Host>) -> Self {
        let initialize = pre.module().get_export_index(INITIALIZE);
        Self { pre, initialize }
    }

    /// A fresh instance, set up.
    ///
    /// # Errors
    /// Traps in start functions, stops by the pool, no free slot.
    pub async fn instantiate(&self, store: &mut Store<Host>) -> wasmtime::Result<wasmtime::Instance> {
        store.data_mut().open_directories().await?;
        let instance = self.pre.instantiate_async(&mut *store).await?;
        if let Some(index) = &self.initialize
            && let Some(Extern::Func(func)) = instance.get_module_export(&mut *store, index)
        {
            func.call_async(store, &[], &mut []).await?;
        }
        Ok(instance)
    }
}

impl Export {
    /// Calls the function on an instance.
    ///
    /// # Errors
    /// Traps and stops by the pool.
    pub async fn call(
        &self,
        store: &mut Store<Host>,
        instance: &wasmtime::Instance,
        values: &[component::Val],
    ) -> wasmtime::Result<Option<component::Val>> {
        let Some(Extern::Func(func)) = instance.get_module_export(&mut *store, &self.index) else {
            return Err(wasmtime::Error::msg("the export vanished between load and call"));
        };
        let params: Vec<Val> = values.iter().map(lower).collect::<wasmtime::Result<_>>()?;
        let mut results = vec![Val::I32(0); self.results];
        func.call_async(store, &params, &mut results).await?;
        let mut values: Vec<component::Val> = results.iter().map(lift).collect::<wasmtime::Result<_>>()?;
        Ok(match self.results {
            0 => None,
            1 => values.pop(),
            _ => Some(component::Val::Tuple(values)),
        })
    }
}

fn lower(value: &component::Val) -> wasmtime::Result<Val> {
    Ok(match value {
        component::Val::S32(value) => Val::I32(*value),
        component::Val::S64(value) => Val::I64(*value),
        component::Val::Float32(value) => Val::F32(value.to_bits()),
        component::Val::Float64(value) => Val::F64(value.to_bits()),
        other => return Err(wasmtime::Error::msg(format!("no core number: {other:?}"))),
    })
}

fn lift(value: &Val) -> wasmtime::Result<component::Val> {
    Ok(match value {
        Val::I32(value) => component::Val::S32(*value),
        Val::I64(value) => component::Val::S64(*value),
        Val::F32(bits) => component::Val::Float32(f32::from_bits(*bits)),
        Val::F64(bits) => component::Val::Float64(f64::from_bits(*bits)),
        other => return Err(wasmtime::Error::msg(format!("no core number: {other:?}"))),
    })
}
