//! What makes a task definition legal on Fargate.
//!
//! Guarantees: cpu and memory come out as plain integers, whatever unit they were written in; errors are worded as AWS
//! words them. Never changes state.

use serde_json::{Value, json};

use super::super::wire::ApiError;

/// Whether Fargate has the size: CPU units and MiB (Linux; the project's AWS notes §2.1).
fn legal_size(cpu: u64, memory: u64) -> bool {
    let range = |low: u64, high: u64, step: u64| (low..=high).contains(&memory) && (memory - low).is_multiple_of(step);
    match cpu {
        256 => matches!(memory, 512 | 1024 | 2048),
        512 => range(1024, 4096, 1024),
        1024 => range(2048, 8192, 1024),
        2048 => range(4096, 16384, 1024),
        4096 => range(8192, 30720, 1024),
        8192 => range(16384, 61440, 4096),
        16384 => range(32768, 122_880, 8192),
        32768 => matches!(memory, 61440 | 122_880 | 249_856),
        _ => false,
    }
}

/// `"256"`, `".25 vCPU"`, `"1 GB"` as units or MiB.
fn normalised(text: &str, unit: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    match text.strip_suffix(unit) {
        Some(number) => {
            let number: f64 = number.trim().parse().ok()?;
            (number > 0.0 && number < 1e6).then(|| (number * 1024.0).round() as u64)
        }
        None => text.parse().ok(),
    }
}

fn size(input: &mut Value, member: &str, unit: &str) -> Result<u64, ApiError> {
    let given = input[member].as_str().map(str::to_owned);
    let Some(given) = given else {
        return Err(ApiError::client(format!("Fargate requires that '{member}' be defined at the task level.")));
    };
    let number = normalised(&given, unit).ok_or_else(|| {
        ApiError::client(format!("Invalid '{member}' setting for task. '{given}' is not a valid value."))
    })?;
    input[member] = json!(number.to_string());
    Ok(number)
}

/// Checks a RegisterTaskDefinition input and fills in what AWS fills in.
pub(super) fn check(input: &mut Value) -> Result<(), ApiError> {
    if input.to_string().len() > 64 * 1024 {
        return Err(ApiError::client("Actual length: task definition exceeds the maximum of 65536 bytes."));
    }
    let fargate =
        input["requiresCompatibilities"].as_array().is_some_and(|list| list.iter().any(|item| item == "FARGATE"));
    if fargate {
        if input["networkMode"] != "awsvpc" {
            return Err(ApiError::client("Fargate only supports network mode ‘awsvpc’."));
        }
        let (cpu, memory) = (size(input, "cpu", "vcpu")?, size(input, "memory", "gb")?);
        if !legal_size(cpu, memory) {
            return Err(ApiError::client("No Fargate configuration exists for given values."));
        }
        if let Some(storage) = input["ephemeralStorage"]["sizeInGiB"].as_i64()
            && !(21..=200).contains(&storage)
        {
            return Err(ApiError::client("The ephemeral storage size must be between 21 and 200 GiB."));
        }
        if let Some(arch) = input["runtimePlatform"]["cpuArchitecture"].as_str()
            && !matches!(arch, "X86_64" | "ARM64")
        {
            return Err(ApiError::client(format!("Invalid cpuArchitecture '{arch}'.")));
        }
    }
    let execution_role = input["executionRoleArn"].is_string();
    let awsvpc = input["networkMode"] == "awsvpc";
    let Some(containers) = input["containerDefinitions"].as_array_mut().filter(|list| !list.is_empty()) else {
        return Err(ApiError::client("Container list cannot be empty."));
    };
    if containers.len() > 10 {
        return Err(ApiError::client("Too many containers: a task definition has at most 10."));
    }
    let (mut names, mut ports, mut essential) = (Vec::new(), Vec::new(), false);
    for container in containers.iter_mut() {
        let name = container["name"].as_str().unwrap_or_default().to_owned();
        if !super::legal_name(&name) {
            return Err(ApiError::client(
                "Container.name should not be null or empty, and has up to 255 letters, numbers, underscores, and hyphens.",
            ));
        }
        if names.contains(&name) {
            return Err(ApiError::client(format!("Container names must be unique: '{name}' is used twice.")));
        }
        if container["image"].as_str().unwrap_or_default().is_empty() {
            return Err(ApiError::client("Container.image should not be null or empty."));
        }
        if container["essential"].is_null() {
            container["essential"] = json!(true);
        }
        essential |= container["essential"] == true;
        if let Some(timeout) = container["stopTimeout"].as_i64()
            && fargate
            && !(0..=120).contains(&timeout)
        {
            return Err(ApiError::client("The stopTimeout must be at most 120 seconds on Fargate."));
        }
        health_check(&name, &mut container["healthCheck"])?;
        for mapping in container["portMappings"].as_array_mut().into_iter().flatten() {
            let (inner, outer) = (mapping["containerPort"].as_i64(), mapping["hostPort"].as_i64());
            let Some(inner) = inner.filter(|port| (1..=65535).contains(port)) else {
                return Err(ApiError::client("Invalid containerPort in port mapping."));
            };
            if awsvpc && outer.is_some_and(|outer| outer != inner && outer != 0) {
                return Err(ApiError::client(
                    "When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
                ));
            }
            if mapping["protocol"].is_null() {
                mapping["protocol"] = json!("tcp");
            }
            let key = (inner, mapping["protocol"].to_string());
            if awsvpc && ports.contains(&key) {
                return Err(ApiError::client(format!("Port {inner} is used by more than one mapping of the task.")));
            }
            ports.push(key);
            if awsvpc {
                mapping["hostPort"] = json!(inner);
            }
        }
        let logs = &container["logConfiguration"];
        if fargate && logs["logDriver"] == "awslogs" {
            if !execution_role {
                return Err(ApiError::client(
                    "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
                ));
            }
            for option in ["awslogs-group", "awslogs-region", "awslogs-stream-prefix"] {
                if !logs["options"][option].is_string() {
                    return Err(ApiError::client(format!("Log driver awslogs requires options: {option}")));
                }
            }
        }
        for member in ["environment", "mountPoints", "volumesFrom", "portMappings", "systemControls"] {
            if container[member].is_null() {
                container[member] = json!([]);
            }
        }
        if container["cpu"].is_null() {
            container["cpu"] = json!(0);
        }
        names.push(name);
    }
    if !essential {
        return Err(ApiError::client("A task definition must have at least one essential container."));
    }
    Ok(())
}

/// A container's own question whether it is healthy: what may be said, and what AWS adds where nothing is.
fn health_check(container: &str, check: &mut Value) -> Result<(), ApiError> {
    if check.is_null() {
        return Ok(());
    }
    let refuse = |what: &str| Err(ApiError::client(format!("Invalid healthCheck of container '{container}': {what}")));
    let words: Vec<&str> = check["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match words.as_slice() {
        ["CMD", program, ..] if !program.is_empty() => {}
        ["CMD-SHELL", line] if !line.is_empty() => {}
        ["NONE"] => {}
        _ => return refuse("command must begin with CMD or CMD-SHELL, and name a command."),
    }
    for (member, range, usual) in [
        ("interval", 5..=300, Some(30)),
        ("timeout", 2..=60, Some(5)),
        ("retries", 1..=10, Some(3)),
        ("startPeriod", 0..=300, None),
    ] {
        if check[member].is_null() {
            if let Some(usual) = usual {
                check[member] = json!(usual);
            }
        } else if check[member].as_i64().is_none_or(|given| !range.contains(&given)) {
            return refuse(&format!("{member} must be between {} and {}.", range.start(), range.end()));
        }
    }
    Ok(())
}

/// Fargate pulls from a private ECR repository as the execution role (aws-facts §1.10).
pub(super) fn role_for_images(input: &Value, private: impl Fn(&str) -> bool) -> Result<(), ApiError> {
    let fargate = input["requiresCompatibilities"].as_array().is_some_and(|list| list.contains(&json!("FARGATE")));
    let mut containers = input["containerDefinitions"].as_array().into_iter().flatten();
    let needs = containers.any(|container| container["image"].as_str().is_some_and(&private));
    if fargate && needs && !input["executionRoleArn"].is_string() {
        let said = "Fargate requires task definition to have execution role ARN to support ECR images.";
        return Err(ApiError::client(said));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(cpu: &str, memory: &str) -> Value {
        json!({"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": cpu, "memory": memory,
            "containerDefinitions": [{"name": "app", "image": "x"}]})
    }

    #[test]
    fn legal_pairs_pass_in_any_unit_and_illegal_ones_are_refused_in_awss_words() {
        for (cpu, memory) in [("256", "512"), (".25 vCPU", "0.5 GB"), ("1 vcpu", "2GB"), ("16384", "122880")] {
            let mut value = definition(cpu, memory);
            check(&mut value).unwrap();
            assert!(value["cpu"].as_str().unwrap().parse::<u32>().is_ok());
        }
        for (cpu, memory) in [("256", "8192"), ("300", "512"), ("8192", "17000")] {
            let error = check(&mut definition(cpu, memory)).unwrap_err();
            assert_eq!(error.message, "No Fargate configuration exists for given values.", "{cpu}/{memory}");
        }
    }

    #[test]
    fn a_health_check_is_filled_in_as_aws_does_and_refused_beyond_its_ranges() {
        let with = |check: Value| {
            let mut value = definition("256", "512");
            value["containerDefinitions"][0]["healthCheck"] = check;
            check_of(value)
        };
        fn check_of(mut value: Value) -> Result<Value, ApiError> {
            check(&mut value)?;
            Ok(value["containerDefinitions"][0]["healthCheck"].take())
        }
        let filled = with(json!({"command": ["CMD", "/app/guard", "healthy"], "timeout": 2})).unwrap();
        assert_eq!((&filled["interval"], &filled["timeout"], &filled["retries"]), (&json!(30), &json!(2), &json!(3)));
        assert!(check_of(definition("256", "512")).unwrap().is_null(), "none is none");
        for wrong in [
            json!({"command": []}),
            json!({"command": ["/app/guard"]}),
            json!({"command": ["CMD-SHELL"]}),
            json!({"command": ["CMD", "x"], "interval": 4}),
            json!({"command": ["CMD", "x"], "timeout": 61}),
            json!({"command": ["CMD", "x"], "retries": 0}),
            json!({"command": ["CMD", "x"], "startPeriod": 301}),
        ] {
            assert!(with(wrong.clone()).unwrap_err().message.contains("healthCheck of container 'app'"), "{wrong}");
        }
    }

    #[test]
    fn an_image_of_a_private_repository_needs_the_execution_role() {
        let mut value = definition("256", "512");
        let private = |image: &str| image == "x";
        assert!(role_for_images(&value, private).unwrap_err().message.contains("support ECR images"));
        assert!(role_for_images(&value, |_| false).is_ok());
        value["executionRoleArn"] = json!("arn:aws:iam::000000000000:role/r");
        assert!(role_for_images(&value, private).is_ok());
    }

    #[test]
    fn rules_of_awsvpc_and_awslogs_are_enforced() {
        let mut value = definition("256", "512");
        value["networkMode"] = json!("bridge");
        assert!(check(&mut value).unwrap_err().message.contains("awsvpc"));
        let mut value = definition("256", "512");
        value["containerDefinitions"][0]["portMappings"] = json!([{"containerPort": 5000, "hostPort": 80}]);
        assert!(check(&mut value).unwrap_err().message.contains("must match"));
        let mut value = definition("256", "512");
        value["containerDefinitions"][0]["logConfiguration"] = json!({"logDriver": "awslogs", "options": {}});
        assert!(check(&mut value).unwrap_err().message.contains("execution role"));
    }
}
