//! Kind: component with typed exports. Which functions it has, and how one is called.
//!
//! Every exported function whose types can cross becomes callable: dynamically through values, or,
//! for functions of bytes alone, through a typed call that copies at memory speed. A `stream<u8>` may
//! be the whole body, of the request or of the response. Functions that use resources, futures or
//! other streams are listed as hidden, with the reason. Knows nothing of the pool, of HTTP or of limits'
//! sources.

use super::detect::Survey;
use super::raw::RawUse;
use super::{Answer, Call, Function, Hidden};
use crate::error::LoadError;
use crate::exchange::Stream;
use crate::values::{NotExposed, Param, Shape};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use unblock_host::{Host, Input};
use wasmtime::Store;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Func, InstancePre, Type, Val};

/// The interface through which functions read the raw request body and write the raw response.
const BODY_INTERFACE: &str = "unblock:task/body@";

/// A compiled component with its imports resolved.
pub struct Linked(pub InstancePre<Host>);

/// One exported function.
pub struct Export {
    index: ComponentExportIndex,
    bytes: Option<Bytewise>,
}

/// The result of a function from bytes to something simple, called without dynamic values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bytewise {
    Nothing,
    Text,
    Bytes,
    TryNothing,
    TryText,
    TryBytes,
}

/// What a function returned.
pub enum Returned {
    /// Nothing, from a function without a result.
    Nothing,
    /// A value of the function's declared result type.
    Value(Val),
    /// Text of a typed call.
    Text(String),
    /// Bytes of a typed call.
    Bytes(Vec<u8>),
    /// The string error of a typed call.
    Failed(String),
}

/// What a call takes.
pub enum Given {
    /// Dynamic values, in the parameters' order.
    Values(Vec<Val>),
    /// The lone `list<u8>` parameter.
    Bytes(Bytes),
}

impl Given {
    /// Puts the caller's body among the parameters, as a stream.
    ///
    /// # Errors
    /// The store's table is full.
    pub(super) fn insert(
        &mut self,
        position: usize,
        stream: Stream,
        store: &mut Store<Host>,
    ) -> wasmtime::Result<()> {
        let input = Input::new(stream.map_err(std::io::Error::other).boxed_unsync());
        if let Self::Values(values) = self {
            values.insert(position.min(values.len()), input.into_value(store)?);
        }
        Ok(())
    }
}

/// The functions of `component`, and the exports that cannot be called.
///
/// # Errors
/// Nothing of it can be called: says what was found.
pub fn functions(component: &Component, survey: &Survey) -> Result<(Vec<Function>, Vec<Hidden>), LoadError> {
    let mut walk = Walk {
        component,
        survey,
        raw: survey.imports.iter().any(|(name, _)| name.starts_with(BODY_INTERFACE)),
        functions: Vec::new(),
        hidden: Vec::new(),
    };
    let engine = component.engine();
    for (name, export) in component.component_type().exports(engine) {
        match export.ty {
            ComponentItem::ComponentFunc(ty) => walk.function(None, name, &ty),
            ComponentItem::ComponentInstance(instance) => {
                let Some(index) = component.get_export_index(None, name) else { continue };
                for (function, export) in instance.exports(engine) {
                    if let ComponentItem::ComponentFunc(ty) = export.ty {
                        walk.function(Some((name, &index)), function, &ty);
                    }
                }
            }
            _ => {}
        }
    }
    let Walk { functions, hidden, .. } = walk;
    if functions.is_empty() {
        return Err(nothing_to_call(survey, &hidden));
    }
    Ok((functions, hidden))
}

/// Exported functions of a component that is called for something else, its export `main`.
pub fn beside(component: &Component, main: &str) -> Vec<Hidden> {
    let engine = component.engine();
    let mut hidden = Vec::new();
    let mut hide = |name: String| {
        let reason =
            format!("the component is called for its {main}; put typed functions into one of their own");
        hidden.push(Hidden { name, reason });
    };
    for (name, export) in component.component_type().exports(engine) {
        match export.ty {
            ComponentItem::ComponentFunc(_) => hide(name.to_owned()),
            ComponentItem::ComponentInstance(instance) if name != main => {
                for (function, export) in instance.exports(engine) {
                    if matches!(export.ty, ComponentItem::ComponentFunc(_)) {
                        hide(format!("{name}#{function}"));
                    }
                }
            }
            _ => {}
        }
    }
    hidden
}

struct Walk<'a> {
    component: &'a Component,
    survey: &'a Survey,
    /// Whether functions may use raw bodies at all.
    raw: bool,
    functions: Vec<Function>,
    hidden: Vec<Hidden>,
}

impl Walk<'_> {
    fn function(&mut self, interface: Option<(&str, &ComponentExportIndex)>, name: &str, ty: &ComponentFunc) {
        let hide = |reason: String| Hidden {
            name: interface.map_or_else(|| name.to_owned(), |(interface, _)| format!("{interface}#{name}")),
            reason,
        };
        if interface.is_some_and(|(interface, _)| interface.starts_with("wasi:")) {
            self.hidden
                .push(hide("an export for another sort of host; export a function of your own".to_owned()));
            return;
        }
        let first = ty.params().next();
        if let Some(tool) =
            leftover(interface.map(|(name, _)| name), name, first.as_ref().map(|(name, _)| *name))
        {
            self.hidden.push(hide(format!("{tool}'s own, which it calls when it builds a component")));
            return;
        }
        if name.starts_with('[') {
            self.hidden.push(hide("a method of a resource, which would have to outlive the call".to_owned()));
            return;
        }
        let Some(index) = self.component.get_export_index(interface.map(|(_, index)| index), name) else {
            return;
        };
        match self.typed(interface.map(|(interface, _)| interface), name, index, ty) {
            Ok(function) => self.functions.push(function),
            Err(reason) => self.hidden.push(hide(reason)),
        }
    }

    fn typed(
        &self,
        interface: Option<&str>,
        name: &str,
        index: ComponentExportIndex,
        ty: &ComponentFunc,
    ) -> Result<Function, String> {
        let (mut params, mut body_stream) = (Vec::new(), None);
        for (position, (param, ty)) in ty.params().enumerate() {
            if is_byte_stream(&ty) {
                if let Some((_, other)) = body_stream.replace((position, param.to_owned())) {
                    return Err(format!(
                        "parameters {other} and {param}: two streams, and a request has one body"
                    ));
                }
                continue;
            }
            let shape = Shape::from_type(&ty).map_err(|why| format!("parameter {param}: {why}"))?;
            params.push(Param::new(param, shape));
        }
        let returned = ty.results().next();
        let streamed = returned.as_ref().and_then(streamed).transpose();
        let streamed = streamed.map_err(|why| format!("result: {why}"))?;
        let (result, error) = match (&returned, &streamed) {
            (None, _) => (None, None),
            (_, Some(error)) => (None, error.clone()),
            (Some(ty), None) => match Shape::from_type(ty).map_err(|why| format!("result: {why}"))? {
                Shape::Result(sides) => (sides.ok.clone(), Some(sides.err.clone())),
                plain => (Some(plain), None),
            },
        };
        let bytes = match params.as_slice() {
            [Param { shape: Shape::Bytes, .. }] if body_stream.is_none() && streamed.is_none() => {
                bytewise(result.as_ref(), error.as_ref())
            }
            _ => None,
        };
        let raw = if self.raw { self.survey.raw.of(name) } else { RawUse::default() };
        let lone_bytes = params.iter().filter(|param| param.shape == Shape::Bytes).count() == 1;
        let answer = match &result {
            None if streamed.is_some() => Answer::Stream,
            None => Answer::Empty,
            Some(Shape::String) => Answer::Text,
            Some(Shape::Bytes) => Answer::Binary,
            Some(_) => Answer::Json,
        };
        Ok(Function {
            name: name.to_owned(),
            interface: interface.map(str::to_owned),
            description: self.survey.docs.function(interface, name),
            params,
            result,
            error,
            raw_body: raw.body || lone_bytes || body_stream.is_some(),
            reads_body: raw.body,
            body_stream,
            raw_answer: raw.answer,
            answer,
            call: Call::Component(Export { index, bytes }),
        })
    }
}

fn is_byte_stream(ty: &Type) -> bool {
    matches!(ty, Type::Stream(stream) if matches!(stream.ty(), Some(Type::U8)))
}

/// For a result that is a stream of bytes, or a `result` of one: the error's type, as
/// [`Function::error`] has it.
fn streamed(ty: &Type) -> Option<Result<Option<Option<Shape>>, NotExposed>> {
    match ty {
        ty if is_byte_stream(ty) => Some(Ok(None)),
        Type::Result(result) if result.ok().is_some_and(|ok| is_byte_stream(&ok)) => {
            Some(result.err().map(|err| Shape::from_type(&err)).transpose().map(Some))
        }
        _ => None,
    }
}

/// The tool that left its own function in the components it builds, beside those of the task.
fn leftover(interface: Option<&str>, name: &str, first_param: Option<&str>) -> Option<&'static str> {
    match (interface, name, first_param) {
        (Some("exports"), "init", Some("app-name")) => Some("componentize-py"),
        (None, "init", Some("shim")) => Some("componentize-qjs"),
        _ => None,
    }
}

fn bytewise(result: Option<&Shape>, error: Option<&Option<Shape>>) -> Option<Bytewise> {
    Some(match (result, error) {
        (None, None) => Bytewise::Nothing,
        (Some(Shape::String), None) => Bytewise::Text,
        (Some(Shape::Bytes), None) => Bytewise::Bytes,
        (None, Some(Some(Shape::String))) => Bytewise::TryNothing,
        (Some(Shape::String), Some(Some(Shape::String))) => Bytewise::TryText,
        (Some(Shape::Bytes), Some(Some(Shape::String))) => Bytewise::TryBytes,
        _ => return None,
    })
}

fn nothing_to_call(survey: &Survey, hidden: &[Hidden]) -> LoadError {
    let exports: Vec<&str> = survey.exports.iter().map(|export| export.name.as_str()).collect();
    let mut remedies: Vec<String> = hidden
        .iter()
        .take(HIDDEN_SHOWN_MAX)
        .map(|hidden| format!("{}: {}", hidden.name, hidden.reason))
        .collect();
    if remedies.is_empty() {
        remedies
            .push("export a function, at the root or in an interface (tasks/README.md shows how)".to_owned());
    }
    LoadError {
        reason: format!(
            "a component without anything to call: looked for exported functions with plain types, a wasi:http handler and wasi:cli/run, found {}",
            if exports.is_empty() { "no exports".to_owned() } else { exports.join(", ") }
        ),
        remedies,
    }
}

/// Hidden exports listed when nothing can be called.
const HIDDEN_SHOWN_MAX: usize = 8;

impl Export {
    /// Whether the call takes the lone parameter's bytes as they are.
    #[must_use]
    pub fn takes_bytes(&self) -> bool {
        self.bytes.is_some()
    }

    /// Calls the function on an instance.
    ///
    /// # Errors
    /// Traps, stops by the pool, and results over the store's bound.
    pub async fn call(
        &self,
        store: &mut Store<Host>,
        instance: &wasmtime::component::Instance,
        given: Given,
        returns: bool,
    ) -> wasmtime::Result<Returned> {
        let func = instance
            .get_func(&mut *store, self.index)
            .ok_or_else(|| wasmtime::Error::msg("the export vanished between load and call"))?;
        match (given, self.bytes) {
            (Given::Bytes(bytes), Some(bytewise)) => typed_call(store, func, &bytes, bytewise).await,
            (Given::Bytes(bytes), None) => {
                let list = bytes.iter().map(|byte| Val::U8(*byte)).collect();
                dynamic_call(store, func, &[Val::List(list)], returns).await
            }
            (Given::Values(values), _) => dynamic_call(store, func, &values, returns).await,
        }
    }
}

async fn dynamic_call(
    store: &mut Store<Host>,
    func: Func,
    values: &[Val],
    returns: bool,
) -> wasmtime::Result<Returned> {
    if !returns {
        func.call_async(store, values, &mut []).await?;
        return Ok(Returned::Nothing);
    }
    let mut result = [Val::Bool(false)];
    func.call_async(store, values, &mut result).await?;
    let [value] = result;
    Ok(Returned::Value(value))
}

async fn typed_call(
    store: &mut Store<Host>,
    func: Func,
    bytes: &[u8],
    bytewise: Bytewise,
) -> wasmtime::Result<Returned> {
    Ok(match bytewise {
        Bytewise::Nothing => {
            func.typed::<(&[u8],), ()>(&mut *store)?.call_async(store, (bytes,)).await?;
            Returned::Nothing
        }
        Bytewise::Text => Returned::Text(
            func.typed::<(&[u8],), (String,)>(&mut *store)?.call_async(store, (bytes,)).await?.0,
        ),
        Bytewise::Bytes => Returned::Bytes(
            func.typed::<(&[u8],), (Vec<u8>,)>(&mut *store)?.call_async(store, (bytes,)).await?.0,
        ),
        Bytewise::TryNothing => {
            let typed = func.typed::<(&[u8],), (Result<(), String>,)>(&mut *store)?;
            typed.call_async(store, (bytes,)).await?.0.map_or_else(Returned::Failed, |()| Returned::Nothing)
        }
        Bytewise::TryText => {
            let typed = func.typed::<(&[u8],), (Result<String, String>,)>(&mut *store)?;
            typed.call_async(store, (bytes,)).await?.0.map_or_else(Returned::Failed, Returned::Text)
        }
        Bytewise::TryBytes => {
            let typed = func.typed::<(&[u8],), (Result<Vec<u8>, String>,)>(&mut *store)?;
            typed.call_async(store, (bytes,)).await?.0.map_or_else(Returned::Failed, Returned::Bytes)
        }
    })
}
