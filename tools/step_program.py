"""A function of a method, as a pure program that JAX runs: what export tools have in common."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mpl_tf.options import ConfigError

if TYPE_CHECKING:  # imported when they are needed: TensorFlow and JAX take seconds
    import jax
    import keras
    import tensorflow as tf

    from mpl_tf.engine.method import Method

Arrays = dict[str, np.ndarray]


def check_jax() -> None:
    """Raises ConfigError if JAX, which writes the programs, is not installed."""
    try:
        import jax  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"{error.name} is missing: pip install 'mpl_tf[stablehlo]'.") from error


def check_method(name: str) -> None:
    """Raises ConfigError if the steps of the method of a run read more than batches and weights."""
    from mpl_tf.engine.stored_teacher import StoredTeacherMethod
    from mpl_tf.methods import METHODS

    if issubclass(METHODS[name], StoredTeacherMethod):
        raise ConfigError(
            f"method={name} reads the stored prediction of each unlabeled image in every step, and "
            "these are not written for other machines: take another method."
        )


def named_variables(method: Method) -> dict[str, keras.Variable]:
    """dict of name -> keras.Variable of all that a step may read or write."""
    owners = dict(method.networks)
    owners |= {name: getattr(method, name) for name in method.optimizers}
    if method.pseudo_label_shares is not None:
        owners["pseudo_label_shares"] = method.pseudo_label_shares
    variables, seen = {}, set()
    for owner, holder in [*owners.items(), ("method", method)]:
        for i, variable in enumerate(holder.variables):
            if id(variable) not in seen:
                seen.add(id(variable))
                name = f"{owner}/{variable.path}"
                variables[f"{name}_{i}" if name in variables else name] = variable
    return variables


def step_of(
    method: Method,
    make_batch: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]],
    weight_suffix: str = "",
) -> Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """A training step as a function of its inputs that returns what it logs.

    Args:
      method: engine.method.Method, compiled. It keeps no log of such steps.
      make_batch: the batch, as `train_step` takes it, of the inputs.
      weight_suffix: if there is one, each number is multiplied by its weight in means over steps,
        and that weight is there under the number's name and the suffix; numbers of which no mean is
        taken are left out.
    """
    import tensorflow as tf

    def step(inputs):
        logs = {}
        log = method.log

        def keep(weight=1.0, **values):
            """In place of Keras metrics, which would sum the numbers up over steps."""
            if not weight_suffix:
                logs.update(values)
                return
            weight = tf.cast(weight, tf.float32)
            for name in values.keys() - method.special_metrics.keys():
                logs[name] = weight * tf.cast(values[name], tf.float32)
                logs[name + weight_suffix] = weight

        method.log = keep
        try:
            method.train_step(make_batch(inputs))
        finally:
            method.log = log
        return {name: tf.convert_to_tensor(value) for name, value in logs.items()}

    return step


def lower(
    function: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]],
    variables: Mapping[str, keras.Variable],
    arguments: Arrays,
) -> tuple[jax.export.Exported, Arrays]:
    """What XLA compiles of a function that reads and assigns variables, as a pure function.

    Args:
      function: of tensors by name, which returns tensors by name.
      variables: name -> each variable that it may read or assign.
      arguments: name -> array, of the shapes and types that it takes.

    Returns:
      (jax.export.Exported of (state, arguments) -> (new state, results), the state now): all are
      dicts by name, and the state has the variables that the function reads or assigns.

    Raises:
      ConfigError: the function calls something that other machines may not have.
    """
    import jax
    import tensorflow as tf

    jax.config.update("jax_enable_x64", True)  # counters have 64 bits
    compiled = tf.function(function, jit_compile=True, autograph=False)
    tensors = {name: tf.constant(value) for name, value in arguments.items()}
    concrete = compiled.get_concrete_function(tensors)
    ir = compiled.experimental_get_compiler_ir(tensors)
    hlo = ir(stage="hlo")
    foreign = sorted(set(re.findall(r'custom_call_target="([^"]+)"', hlo)))
    if foreign:
        raise ConfigError(f"the step calls what TensorFlow alone has: {', '.join(foreign)}.")

    # Parameters: the arguments by name, then what the function captures. Results: its own by name,
    # then the variables that it assigns; the first line says which parameter each one replaces.
    heading = hlo.partition("\n")[0]
    replaced = {int(r): int(p) for r, p in re.findall(r"\{(\d+)\}: \((\d+),", heading)}
    names_of = {id(v.value.handle): name for name, v in variables.items()}
    captured = [names_of.get(id(c), c) for c in concrete.captured_inputs]  # or a constant
    parameters = sorted(arguments) + captured
    result_names = sorted(concrete.structured_outputs)
    state = {name: variables[name].numpy() for name in captured if isinstance(name, str)}
    arrays = state | arguments
    values = [arrays[p] if isinstance(p, str) else p.numpy() for p in parameters]
    tensors = [concrete.structured_outputs[name] for name in result_names]
    results = [jax.ShapeDtypeStruct(t.shape, t.dtype.as_numpy_dtype) for t in tensors]
    results += [values[replaced[r]] for r in sorted(replaced)]
    program = _exported(ir(stage="stablehlo"), values, results)

    def pure(state, arguments):
        inputs = state | arguments
        pairs = zip(parameters, values, strict=True)
        outputs = program.call(*(inputs[p] if isinstance(p, str) else v for p, v in pairs))
        moved = {parameters[p]: outputs[r] for r, p in replaced.items()}
        return state | moved, dict(zip(result_names, outputs, strict=False))

    return _export(pure, state, arguments), state


def _export(function: Callable[..., Any], *arguments: Any) -> jax.export.Exported:
    """The jax.export.Exported of a function of arrays: of no device's own, none left out."""
    import jax

    specs = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), arguments)
    anywhere = [jax.export.DisabledSafetyCheck.platform()]
    jitted = jax.jit(function, keep_unused=True)
    return jax.export.export(jitted, platforms=["cpu"], disabled_checks=anywhere)(*specs)


def _exported(program, arguments, results):
    """A jax.export.Exported around a program of StableHLO.

    Args:
      program: a module with a function `main`.
      arguments, results: lists of what has the shapes and types of its inputs and outputs.
    """
    import jax.numpy as jnp
    from jax.extend.mlir import serialize_portable_artifact
    from jax.extend.mlir.dialects import stablehlo

    # Has the right inputs and outputs.
    shell = _export(lambda *_: [jnp.zeros(r.shape, r.dtype) for r in results], *arguments)
    version = stablehlo.get_version_from_compatibility_requirement(
        stablehlo.StablehloCompatibilityRequirement.WEEK_12
    )
    # Copies of results, which are no operation of StableHLO: as reshapes to the shape they have.
    program = re.sub(
        r"mhlo\.copy (%\w+) : (tensor<[^>]*>)", r"stablehlo.reshape \1 : (\2) -> \2", program
    )
    artifact = serialize_portable_artifact(program, version)
    return dataclasses.replace(shell, mlir_module_serialized=artifact)
