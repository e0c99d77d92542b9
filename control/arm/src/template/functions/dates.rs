//! Dates: `utcNow`, `dateTimeAdd` and the rest, with .NET's format strings as far as templates use them.

use super::super::evaluate::Phase;
use super::super::problem::Problem;
use super::{Call, Entry};
use crate::date::{Moment, duration};
use serde_json::Value;

type Answer = Result<Value, Problem>;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "dateTimeAdd",
        least: 2,
        most: 3,
        run: date_time_add,
    },
    Entry {
        name: "dateTimeFromEpoch",
        least: 1,
        most: 1,
        run: date_time_from_epoch,
    },
    Entry {
        name: "dateTimeToEpoch",
        least: 1,
        most: 1,
        run: date_time_to_epoch,
    },
    Entry {
        name: "utcNow",
        least: 0,
        most: 1,
        run: utc_now,
    },
];

/// Refuses what returns something else each time anywhere but in default values of parameters.
pub(super) fn only_default(call: &Call<'_>) -> Result<(), Problem> {
    match call.env.phase {
        Phase::Parameters => Ok(()),
        _ => Err(Problem::NotHere {
            function: call.name.to_owned(),
            accepted: "it may be in the default value of a parameter",
        }),
    }
}

fn shown(call: &Call<'_>, moment: Moment, at: usize, otherwise: &str) -> Answer {
    let format = match call.given(at) {
        None | Some(Value::Null) => otherwise,
        Some(_) => call.text(at)?,
    };
    moment
        .format(format)
        .map(Value::from)
        .ok_or_else(|| call.bad(format!("the date format '{format}' is not supported")))
}

fn utc_now(call: &Call<'_>) -> Answer {
    only_default(call)?;
    let moment = Moment::after_epoch(call.evaluator.session.now);
    shown(call, moment, 0, "yyyyMMddTHHmmssZ")
}

fn read(call: &Call<'_>) -> Result<Moment, Problem> {
    let text = call.text(0)?;
    Moment::parse(text).ok_or_else(|| {
        call.bad(format!(
            "'{text}' is no date; accepted: ISO 8601 such as '2020-04-07T14:53:14Z' or '20200407T145314Z'"
        ))
    })
}

fn date_time_add(call: &Call<'_>) -> Answer {
    let by = call.text(1)?;
    let seconds = duration(by)
        .ok_or_else(|| call.bad(format!("'{by}' is no ISO 8601 duration such as 'P1DT2H'")))?;
    let moment = read(call)?
        .plus(seconds)
        .ok_or_else(|| call.bad("the date is out of range"))?;
    // From memory of the documentation, whose examples print dates in the American way here alone.
    shown(call, moment, 2, "M/d/yyyy h:mm:ss tt")
}

fn date_time_from_epoch(call: &Call<'_>) -> Answer {
    let moment = Moment::at(call.integer(0)?);
    let moment = moment.ok_or_else(|| call.bad("the date is out of range"))?;
    shown(call, moment, 1, "yyyy-MM-ddTHH:mm:ssZ")
}

fn date_time_to_epoch(call: &Call<'_>) -> Answer {
    Ok(read(call)?.seconds().into())
}
