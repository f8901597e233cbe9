//! A Lua machine with the libraries that Argo CD gives to the scripts of `config/argocd`, and its way of reading what they return.

use mlua::{Lua, LuaOptions, StdLib};
use serde_json::{Map, Number, Value};

/// Takes away what Argo CD does not give either. The base library, that of tables and, when it is required, the clock are left.
const CONFINE: &str = "local clock = { time = os.time, date = os.date }
os, dofile, loadfile = nil, nil, nil
function require(name)
  return name == 'os' and clock or error('there is no module ' .. name)
end";

/// Runs a script on an object. Returns what it returns.
#[track_caller]
pub fn run(script: &str, object: &Value) -> Value {
    let lua = Lua::new_with(StdLib::TABLE | StdLib::OS, LuaOptions::default()).unwrap();
    lua.load(CONFINE).exec().unwrap();
    lua.globals().set("obj", given(&lua, object)).unwrap();
    match lua.load(script).eval::<mlua::Value>() {
        Ok(returned) => taken(&returned),
        Err(error) => panic!("{error}\non {object:#}"),
    }
}

/// What an action made of an object. Lua has one empty table for an empty object and an empty list, and Argo CD takes that for a list
/// unless there was an object before.
#[track_caller]
pub fn act(script: &str, object: &Value) -> Value {
    restored(run(script, object), object)
}

fn given(lua: &Lua, value: &Value) -> mlua::Value {
    match value {
        Value::Null => mlua::Value::Nil,
        Value::Bool(bool) => mlua::Value::Boolean(*bool),
        Value::Number(number) => mlua::Value::Number(number.as_f64().unwrap()),
        Value::String(text) => mlua::Value::String(lua.create_string(text).unwrap()),
        Value::Array(items) => {
            let items = items.iter().map(|item| given(lua, item));
            mlua::Value::Table(lua.create_sequence_from(items).unwrap())
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.as_str(), given(lua, value)));
            mlua::Value::Table(lua.create_table_from(fields).unwrap())
        }
    }
}

fn taken(value: &mlua::Value) -> Value {
    match value {
        mlua::Value::Nil => Value::Null,
        mlua::Value::Boolean(bool) => Value::Bool(*bool),
        mlua::Value::Integer(integer) => Value::from(*integer),
        #[allow(clippy::cast_possible_truncation, reason = "it is whole and small")]
        mlua::Value::Number(float) if float.fract() == 0.0 => Value::from(*float as i64),
        mlua::Value::Number(float) => Value::Number(Number::from_f64(*float).unwrap()),
        mlua::Value::String(text) => Value::String(text.to_str().unwrap().to_owned()),
        mlua::Value::Table(table) => table_taken(table),
        other => panic!("{other:?} cannot be written as JSON"),
    }
}

fn table_taken(table: &mlua::Table) -> Value {
    let fields = table.pairs::<mlua::Value, mlua::Value>().map(Result::unwrap);
    let mut object = Map::new();
    for (key, value) in fields {
        match key {
            mlua::Value::String(key) => object.insert(key.to_str().unwrap().to_owned(), taken(&value)),
            _ => return Value::Array(table.sequence_values().map(|item| taken(&item.unwrap())).collect()),
        };
    }
    if object.is_empty() {
        Value::Array(Vec::new())
    } else {
        Value::Object(object)
    }
}

fn restored(new: Value, old: &Value) -> Value {
    match (new, old) {
        (Value::Array(items), Value::Object(_)) if items.is_empty() => old.clone(),
        (Value::Array(items), Value::Array(before)) => {
            let before = before.iter().chain(std::iter::repeat(&Value::Null));
            Value::Array(
                items
                    .into_iter()
                    .zip(before)
                    .map(|(item, old)| restored(item, old))
                    .collect(),
            )
        }
        (Value::Object(fields), Value::Object(before)) => {
            let field = |(key, value)| {
                let value = restored(value, before.get(&key).unwrap_or(&Value::Null));
                (key, value)
            };
            Value::Object(fields.into_iter().map(field).collect())
        }
        (new, _) => new,
    }
}

#[test]
fn a_script_has_no_more_than_argo_cd_gives_it() {
    let script = "return { string == nil, io == nil, os == nil, loadfile == nil, require('os').execute == nil, \
                  type(require('os').date), type(table.insert) }";
    let has = run(script, &Value::Null);
    assert_eq!(
        has,
        serde_json::json!([true, true, true, true, true, "function", "function"])
    );
}

#[test]
fn what_a_script_does_not_touch_comes_back_as_it_was() {
    let object = serde_json::json!({
        "spec": { "managed": {}, "list": [], "accounts": [{ "name": "a", "more": {} }], "number": 3, "half": 0.5, "no": false },
    });
    assert_eq!(
        act("return obj", &object),
        serde_json::json!({
            "spec": { "managed": {}, "list": [], "accounts": [{ "name": "a", "more": {} }], "number": 3, "half": 0.5, "no": false },
        })
    );
    assert_eq!(act("obj.spec.number = 4 return obj", &object)["spec"]["number"], 4);
}
